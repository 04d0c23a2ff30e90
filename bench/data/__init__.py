"""Prices and hardware facts with dates and sources; `README.md` beside this file describes them."""
