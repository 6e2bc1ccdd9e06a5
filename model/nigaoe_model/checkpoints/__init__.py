"""Weights of other programs come in here: read without executing, recognised by content, checked by numbers.

The way of a file: a child process with limits (`sandbox`) reads its container (`containers`) with a machine that
executes nothing (`pickle_machine`, `rebuilding`), recognises what it is (`families`) and writes plain tensors; this
process puts them into our layout (`conversion`), compares them with a parent (`parentage`), draws with them
(`self_test`) and registers them (`importing`).
"""
