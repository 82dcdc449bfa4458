"""The questions of each task: templates whose numbers and names are drawn, each with an answer that passes."""
