"""polyscan's bundles behind MONAI Label: a study, however many series it has, is one image."""
