"""One small program a queue, as its documentation writes it. Each runs in the environment of its queue.

A program is imported by its queue's workers, and by the driver, which calls its functions:

    enqueue_one(nonce)    enqueue one no-op job
    enqueue_many(nonces)  the same in one call, if the queue has a call for it
    ask(nonce)            enqueue one job and return its result
    answered(server)      how many jobs have been answered since the server started; `server` is a redis-py client

The first three may be coroutine functions. The address of the server is in `PEERS_URL`, and `PEERS_VARIANT` names a
variant of the configuration. Database 1 has the results of the queues that can keep them apart.
"""
