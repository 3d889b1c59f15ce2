"""Similar pictures: search by distance or code, the index on disk, the sheet of results.

Imports `features`, `report`.
"""
