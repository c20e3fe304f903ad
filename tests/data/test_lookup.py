import pandas as pd

from boxloop.data.lookup import RowsByImage

TABLE = pd.DataFrame(
    {"image_id": ["b", "a", "b", "c", "a"], "number": range(5)}, index=[10, 11, 12, 13, 14]
).astype({"image_id": "string"})


def test_rows_come_in_the_tables_order_by_its_index() -> None:
    found = RowsByImage(TABLE).of(pd.Series(["c", "b"], dtype="string"))
    assert found.equals(TABLE.loc[[10, 12, 13]])


def test_an_image_without_rows_has_none() -> None:
    lookup = RowsByImage(TABLE)
    assert lookup.of(pd.Series(["d"], dtype="string")).equals(TABLE.iloc[:0])
    assert lookup.of(pd.Series(["d", "a"], dtype="string")).equals(TABLE.loc[[11, 14]])
    assert RowsByImage(TABLE.iloc[:0]).of(TABLE["image_id"].drop_duplicates()).empty
