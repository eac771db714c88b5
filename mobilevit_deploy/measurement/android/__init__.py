"""Android phones: adb, what it sees, what a phone says of itself, and a folder there that is gone afterwards.

Nothing is installed on the phone, and the user's file names never reach its shell.
"""
