"""Parses a Swift file, because Debian has no Swift compiler: python swift_syntax.py FILE. Prints the lines that are no
Swift."""

import sys

import tree_sitter
import tree_sitter_swift


def errors(node):
    if node.is_error or node.is_missing:
        yield f"line {node.start_point.row + 1}: {node.type}"
    for child in node.children:
        yield from errors(child)


with open(sys.argv[1], "rb") as file:
    source = file.read()
parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
for error in errors(parser.parse(source).root_node):
    print(error)
