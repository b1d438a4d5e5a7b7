"""The construction pipeline: from a folder of pictures to twin pairs with reference and contrast paths."""
