"""What people show to others: tables for papers and READMEs, and a folder of results that is ready to commit."""
