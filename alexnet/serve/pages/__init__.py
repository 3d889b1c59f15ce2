"""The API, a module for each page: what its addresses respond with, by the functions of `alexnet.see`."""
