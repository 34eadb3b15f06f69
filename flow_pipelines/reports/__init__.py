"""What people look at: the contact sheet, previews, failures and costs. Rendering, no I/O."""
