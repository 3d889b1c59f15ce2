"""The explorer: a run folder in the browser, live and offline. `alexnet serve RUN`.

`app` collects the addresses of `pages`, `guard` controls access, `worker` is the one thread that uses networks,
`open_networks` the runs and epochs, `run_cache` what is computed once and kept in the run folder, `cache` what stays in
memory; `page/` is what the browser gets. May import everything but `commands` and `cli`.
"""
