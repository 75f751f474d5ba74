"""Translate scans of one kind into another, learnt from patients of whom none needs to have both."""
