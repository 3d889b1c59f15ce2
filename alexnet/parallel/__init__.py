"""One network trained by several processes: columns as in [A] §3.2, data parallel, both, One Weird Trick's hybrid.

All is derived from the table of rows and applied to a network from outside; the network knows nothing of it.

    layout    who holds which units and trains on which pictures; refusals
    traffic   what crosses between processes, counted from the table
    exchange  activations on their way to other processes, their gradients on the way back
    split     a whole network cut down to one process's part, and put together again
    norms     batch normalisation over a batch that is dealt out
    gradients sums of weight gradients over processes that hold the same weights (torch's DDP)
    team      the processes of a run as one of them sees them
    watch     one clear message when one of them is lost
"""
