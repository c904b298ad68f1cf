"""The gateway: the HTTP interface of the ledger, with event streams.

It stands on the client library (`producer.client`, `producer.feed`) and the ledger, and knows neither the workers nor
the engine. Started by `cornerman serve`, which runs `python -m gateway`.
"""
