SELECT id, class, longest FROM classes ORDER BY id
