"""Pure functions from rates and prices to dollars, and adapters to price data."""
