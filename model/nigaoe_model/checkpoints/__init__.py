"""Import and export of other programs' weights: read without executing, recognised by content, checked by numbers.

A file's steps: a child process with limits (`sandbox`, `reader_process`) opens its format (`formats`) with a machine
that executes nothing (`pickle_machine`, `rebuilding`), recognises what it is (`families`) and writes plain tensors.
This process converts them to our layout (`layouts`, `conversion`), compares them with a parent (`parentage`), draws
with them (`self_test`) and registers them (`importing`, `registry`). Start reading at `importing`.
"""
