"""Shell grammar: words, the syntax tree of a text, and its parser by tree-sitter-bash."""
