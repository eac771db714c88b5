"""iPhones and this Mac: Apple's tools, attached devices, and the app that runs a model on one of them.

coremltools 9.0 builds, installs and drives the app; what is here checks first what it finds out late or never, waits as
long as is right, and ends what it leaves running.
"""
