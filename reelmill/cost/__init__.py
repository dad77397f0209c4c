"""What a job costs: billed by what ffmpeg took, in whole billionths of the currency, so that sums are exact."""
