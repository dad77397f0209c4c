"""Makes one folder for HLS and DASH of finished pieces and tracks."""
