"""What bnlab emits, side by side with other libraries and with EM written by hand (extra `bench`)."""
