"""What the pages share: rights, runs that are served, headers, images made small."""
