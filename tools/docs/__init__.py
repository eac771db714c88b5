"""What the documentation site is made with: pages that the code writes itself, and the pictures in ``docs/images``.

``pages.generated()`` has every page that no one writes by hand; ``hooks`` hands them to MkDocs when the site is built.
``python -m tools.docs.rewrite_pictures`` and ``python -m tools.docs.export_picture`` write the pictures anew.
"""
