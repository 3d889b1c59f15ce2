"""Several processes that train or measure one network: columns as in [A] §3.2, data parallel, both, One Weird Trick.

All is derived from the table of rows and applied to a network from outside; the network knows nothing of it. Imports
`nets` and `data`.

    launch    from a torchrun command to a team
    grid      who holds which units of a layer and which pictures of a batch; refusals
    team      the processes of a run as one of them sees them
    split     a network reduced to one process's units, and put together again
    exchange  activations on their way to other processes, their gradients on the way back; batch normalisation
    gradients sums of weight gradients over processes that hold the same weights (torch's DDP)
    heartbeat one clear message when a process is lost
    traffic   what crosses between processes, counted from the table
"""
