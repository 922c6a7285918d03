"""Work in a process of its own, and what is known of it when that process dies.

An engine may end its process without a word (C++ that finds no memory), and the kernel may kill
it. So the process that was asked for the document is a small one that loads no engine: it forks
the one that trains (`process`), finds out what it died of (`death`), and writes the document then
(`training`).
"""
