"""Other gateways, driven as walletpush is, over the same simulators: `bench.peers.catalogue.find` knows them."""
