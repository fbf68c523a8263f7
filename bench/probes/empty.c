/* An empty library: what being preloaded costs at the least. */
