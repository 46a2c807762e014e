"""The commands of `walletpush`, one file each."""
