"""Levels (precisions) of a model beside each other: size, speed, dollars and quality, one row a level."""
