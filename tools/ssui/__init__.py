"""SSUI-open: authored ideas, and the composer that turns them into twin pairs."""
