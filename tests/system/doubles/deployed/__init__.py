"""Doubles of the deployed programs, written from the protocol's description: programs in Node.js (proxy.js, daemon.js)
and, in Python, the remote client and ends that write on the wire what a library seldom does."""
