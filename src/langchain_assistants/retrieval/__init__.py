"""File search: what is indexed of files, and how it is found again."""
