"""What an OpenAI-compatible endpoint is asked, in the dialect it speaks: probe, request bodies, token counts."""
