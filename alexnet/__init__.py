"""The networks of Krizhevsky et al. 2012 [A] and Zeiler & Fergus 2014 [Z]: train, measure, take apart, re-use."""

__version__ = "0.1.0"
