"""What people look at: gallery, contact sheet, comparison, previews, costs. Rendering, no I/O."""
