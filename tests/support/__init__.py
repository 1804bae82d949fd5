"""What tests share: a faked kernel, a running application, generators of addresses and packets."""
