"""The coordinator's side: creates studies, keeps their rows complete, obeys their users, starts local workers."""
