"""One file a plug-in: what a method's logits are taught by, in place of labels."""
