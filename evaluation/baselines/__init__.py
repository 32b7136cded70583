"""The systems to beat: each is one small file, tuned with the same care as ours."""
