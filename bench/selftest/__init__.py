"""The instrument, tested on a runner whose truth is known: programmed values come back, planted defects are caught."""
