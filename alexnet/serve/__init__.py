"""The explorer: a run folder opened in the browser, live and offline. `alexnet serve RUN`.

`app` has the addresses, `guard` stands at the door, `worker` is the one thread that uses networks, `sides` the runs
that are looked at, `kept` what is computed once and lies in the run folder; `units`, `pictures` and `compare` make what
the pages show, by the functions of `alexnet.see` and `alexnet.measure`. `page/` is what the browser gets.
"""
