"""How Label Studio packs regions: brush strokes, bitmaps and polygons."""
