"""The domain, as plain functions over frozen dataclasses.

Leans on nothing but the standard library, cryptography and Authlib.
Never touches a socket, a file, the clock, randomness or a log: time and entropy are arguments.
"""
