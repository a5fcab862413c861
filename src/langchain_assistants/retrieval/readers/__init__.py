"""One module per family of file formats: a path in, a `ParsedDocument` out.

They run in the parser's process, under its limits; none trusts what it reads.
"""
