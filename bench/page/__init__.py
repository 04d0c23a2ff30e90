"""The report as one page of HTML: no network, no build step, nothing that needs to be installed to read it."""
