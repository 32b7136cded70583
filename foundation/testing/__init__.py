"""Laws, fakes and worlds with known answers, shipped so that every implementation can join in one line."""
