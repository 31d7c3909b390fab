let number = 0;

export const describe = (columns) => ({...columns, number: "long"});

// What it remembers of other rows is another after each restart, and in the batch layer.
export const map = (row) => ({...row, number: number++});
