"""What tokens cost at APIs: adapters to price data, each a file; dated, offline, never updated over the network."""
