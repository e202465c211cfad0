! SPDX-License-Identifier: BSD-3-Clause
!
! What the Fortran module gives for the rows of a file, in every memory order and precision, as numbers that Python compares
! with its own. Input (stream): n, x(5, n), dx(5, n), dy(2, n). Every result is written as lines "name number".
program module_test
   use, intrinsic :: iso_c_binding, only: c_double, c_float, c_int
   use simgraft
   implicit none

   type(sg_surrogate) :: rates
   type(sg_error)     :: error
   real(c_double), allocatable :: x(:, :), dx(:, :), dy(:, :), y(:, :), z(:, :), wide(:, :), other(:, :)
   real(c_float), allocatable  :: x4(:, :), y4(:, :), z4(:, :)
   integer(sg_byte), allocatable :: work(:)
   character(500) :: file, input
   integer :: n, i, unit
   integer(c_int) :: number

   call get_command_argument(1, file)
   call get_command_argument(2, input)
   open (newunit=unit, file=input, access='stream', form='unformatted', status='old', action='read')
   read (unit) number
   n = number
   allocate (x(5, n), dx(5, n), dy(2, n), y(2, n))
   read (unit) x, dx, dy
   close (unit)

   call open_and_describe
   allocate (work(max(rates%derivative_workspace_bytes(), rates%workspace_bytes(num_threads=2))))
   call orders
   call singles
   call derivatives
   call guards
   call threads
   call mistakes
   call copies
   call rates%close()
   call say('open after close', merge(1.0_c_double, 0.0_c_double, rates%is_open()))
   deallocate (x, dx, dy, y, z, x4, y4, z4, work) ! a program does not free its variables when it ends

contains

   subroutine say(name, value)
      character(*), intent(in)   :: name
      real(c_double), intent(in) :: value
      print '(a, a, es25.16e3)', name, char(9), value
   end subroutine

   subroutine say_all(name, values)
      character(*), intent(in)   :: name
      real(c_double), intent(in) :: values(:, :) !! (outputs, n)
      integer :: k, j
      do k = 1, size(values, 2)
         do j = 1, size(values, 1)
            call say(name, values(j, k))
         end do
      end do
   end subroutine

   subroutine expect_ok
      if (error%status == SG_OK) return
      print '(a, a)', 'failed'//char(9), trim(error%message)
      stop 1
   end subroutine

   subroutine open_and_describe
      type(sg_info)     :: info
      type(sg_variable) :: v
      call rates%open(file, error)
      call expect_ok
      info = rates%describe()
      print '(9(a, :, 1x))', 'texts'//char(9), info%name, info%version, info%description(1:1), sg_status_text(SG_ERR_VALUE)
      call say('sizes', real(info%n_in, c_double))
      call say('sizes', real(info%n_out, c_double))
      call say('sizes', real(info%n_parameters, c_double))
      call say('sizes', info%flops_per_row)
      call say('sizes', real(info%network_bits, c_double))
      call say('sizes', merge(1.0_c_double, 0.0_c_double, info%has_domain))
      do i = 1, rates%n_in()
         v = rates%input(i)
         print '(5a)', 'texts'//char(9), v%name, ' [', v%unit, ']'
         call say('ranges', v%low)
         call say('ranges', v%high)
      end do
      do i = 1, rates%n_out() + 1
         v = rates%output(i)
         print '(5a)', 'texts'//char(9), v%name, ' [', v%unit, ']'
      end do
   end subroutine

   subroutine orders
      call rates%eval(x, y, work, error)
      call expect_ok
      call say_all('eval', y)

      z = transpose(y)
      z = 0
      call rates%eval_columns(transpose(x), z, work, error)
      call expect_ok
      call say_all('eval columns', transpose(z))

      ! every second row backwards, and columns in the middle of a wider array
      allocate (wide(9, 2 * n), other(2 * n, 7))
      wide  = -1
      other = -1
      wide(3:7, 2 * n:2:-2) = x
      call rates%eval(wide(3:7, 2 * n:2:-2), other(1:2 * n:2, 2:6:4), work, error) ! shapes (5, n) and (n, 2): wrong
      print '(2a)', 'message'//char(9), trim(error%message)
      call rates%eval(wide(3:7, 2 * n:2:-2), y, work, error)
      call expect_ok
      call say_all('eval sections', y)
      wide(4:5, 2 * n:2:-2) = -7
      other(1:2 * n:2, 1:5) = transpose(x)
      call rates%eval_columns(other(1:2 * n:2, 1:5), other(2:2 * n:2, 6:7), work, error)
      call expect_ok
      call say_all('eval sections', transpose(other(2:2 * n:2, 6:7)))
      call say('untouched', maxval(abs(other(1:2 * n:2, 6:7) + 1)) + maxval(abs(other(2:2 * n:2, 1:5) + 1)))

      do i = 1, n
         call rates%eval(x(:, i), y(:, i), work, error)
         call expect_ok
      end do
      call say_all('eval row', y)
      deallocate (wide, other)
   end subroutine

   subroutine singles
      x4 = real(x, c_float)
      allocate (y4(2, n))
      call rates%eval(x4, y4, work, error)
      call expect_ok
      call say_all('eval f32', real(y4, c_double))
      z4 = transpose(y4)
      z4 = 0
      call rates%eval_columns(transpose(x4), z4, work, error)
      call expect_ok
      call say_all('eval f32', real(transpose(z4), c_double))
      do i = 1, n
         call rates%eval(x4(:, i), y4(:, i), work, error)
         call expect_ok
      end do
      call say_all('eval f32', real(y4, c_double))
   end subroutine

   subroutine derivatives
      real(c_double), allocatable :: r(:, :), rt(:, :)
      real(c_float), allocatable  :: r4(:, :), rt4(:, :)
      allocate (r(2, n), rt(n, 2), r4(2, n), rt4(n, 2))
      call rates%jvp(x, dx, r, work, error)
      call expect_ok
      call say_all('jvp', r)
      call rates%jvp_columns(transpose(x), transpose(dx), rt, work, error)
      call expect_ok
      call say_all('jvp', transpose(rt))
      call rates%jvp(x4, real(dx, c_float), r4, work, error)
      call expect_ok
      call say_all('jvp f32', real(r4, c_double))
      call rates%jvp_columns(transpose(x4), transpose(real(dx, c_float)), rt4, work, error)
      call expect_ok
      call say_all('jvp f32', real(transpose(rt4), c_double))
      deallocate (r, rt, r4, rt4)
      allocate (r(5, n), rt(n, 5), r4(5, n), rt4(n, 5))
      call rates%vjp(x, dy, r, work, error)
      call expect_ok
      call say_all('vjp', r)
      call rates%vjp_columns(transpose(x), transpose(dy), rt, work, error)
      call expect_ok
      call say_all('vjp', transpose(rt))
      call rates%vjp(x4, real(dy, c_float), r4, work, error)
      call expect_ok
      call say_all('vjp f32', real(r4, c_double))
      call rates%vjp_columns(transpose(x4), transpose(real(dy, c_float)), rt4, work, error)
      call expect_ok
      call say_all('vjp f32', real(transpose(rt4), c_double))
   end subroutine

   subroutine guards
      type(sg_guard) :: guard, sum
      integer(sg_byte), allocatable, target  :: flags(:)
      integer(sg_count), allocatable, target :: per_input(:)
      real(c_double), allocatable :: hot(:, :), gradient(:, :)
      hot = x
      hot(2, 7) = 1000
      hot(3, n) = -5
      allocate (flags(n), per_input(5))
      per_input = 0
      guard%row_flags => flags
      guard%outside_of_input => per_input
      call rates%eval(hot, y, work, error, guard)
      call expect_ok
      call say_guard('guard', guard)
      do i = 1, n
         if (flags(i) /= 0) call say('guard flags', real(i, c_double))
      end do
      call say_all('guard inputs', reshape(real(per_input, c_double), [5, 1]))
      call rates%explain(guard, error)
      print '(2a)', 'message'//char(9), trim(error%message)
      call sum%add(guard)
      call sum%add(guard)
      call say_guard('guard sum', sum)

      guard = sg_guard(policy=SG_GUARD_STOP)
      call rates%eval(hot, y, work, error, guard)
      print '(2a)', 'message'//char(9), trim(error%message)

      guard = sg_guard(policy=SG_GUARD_FALLBACK)
      call rates%eval(hot, y, work, error, guard)
      print '(2a)', 'message'//char(9), trim(error%message)
      guard%fallback => by_hand
      call rates%eval_columns(transpose(hot), z, work, error, guard)
      call expect_ok
      call say_all('fallback', transpose(z))
      call say_guard('fallback guard', guard)
      guard%fallback => refuses
      call rates%eval(hot, y, work, error, guard)
      print '(2a)', 'message'//char(9), trim(error%message)

      guard = sg_guard(policy=SG_GUARD_FALLBACK)
      guard%fallback_jvp => derivative_by_hand
      guard%fallback_vjp => derivative_by_hand
      call rates%jvp(hot, dx, y, work, error, guard)
      call expect_ok
      call say_all('fallback jvp', y(:, 7:7))
      allocate (gradient(5, n))
      call rates%vjp(hot, dy, gradient, work, error, guard)
      call expect_ok
      call say_all('fallback vjp', gradient(:, 7:7))
      call say_guard('fallback derivative guard', guard)
   end subroutine

   subroutine say_guard(name, guard)
      character(*), intent(in)   :: name
      type(sg_guard), intent(in) :: guard
      integer(sg_count) :: counts(8)
      counts = [guard%n_calls, guard%n_rows, guard%n_outside, guard%n_box, guard%n_not_finite, guard%n_fallback, &
                guard%first_row, int(guard%first_input, sg_count)]
      call say_all(name, reshape(real(counts, c_double), [8, 1]))
   end subroutine

   subroutine by_hand(in, out, status)
      real(c_double), intent(in)  :: in(:)
      real(c_double), intent(out) :: out(:)
      integer(c_int), intent(out) :: status
      out    = [in(2), in(5)]
      status = 0
   end subroutine

   subroutine refuses(in, out, status)
      real(c_double), intent(in)  :: in(:)
      real(c_double), intent(out) :: out(:)
      integer(c_int), intent(out) :: status
      out    = in(1)
      status = 3
   end subroutine

   subroutine derivative_by_hand(in, d, r, status)
      real(c_double), intent(in)  :: in(:), d(:)
      real(c_double), intent(out) :: r(:)
      integer(c_int), intent(out) :: status
      r      = in(2) + size(d)
      status = 0
   end subroutine

   !! One surrogate, one workspace for each thread of the host; and threads of the library.
   subroutine threads
      type(sg_guard) :: mine, all
      type(sg_error) :: failure
      integer(sg_byte), allocatable :: space(:)
      y = 0
      !$omp parallel private(space) firstprivate(failure, mine) num_threads(2)
      allocate (space(rates%workspace_bytes()))
      !$omp do schedule(dynamic, 1)
      do i = 1, n, 10
         associate (last => min(i + 9, n))
            call rates%eval(x(:, i:last), y(:, i:last), space, failure, mine)
         end associate
      end do
      !$omp end do
      !$omp critical
      call all%add(mine)
      !$omp end critical
      !$omp end parallel
      call say_all('eval openmp', y)
      call say('openmp rows', real(all%n_rows, c_double))
      y = 0
      call rates%eval(x, y, work, error, num_threads=2)
      call expect_ok
      call say_all('eval threads', y)
   end subroutine

   subroutine mistakes
      type(sg_surrogate) :: nothing
      call nothing%open(trim(file)//'.not', error)
      call say('status', real(error%status, c_double))
      call nothing%eval(x, y, work, error)
      print '(2a)', 'message'//char(9), trim(error%message)
      call rates%eval(x(1:4, :), y, work, error)
      print '(2a)', 'message'//char(9), trim(error%message)
      call rates%eval(x, y(:, 1:3), work, error)
      print '(2a)', 'message'//char(9), trim(error%message)
      call rates%eval(x, y, work(1:10), error)
      print '(2a)', 'message'//char(9), trim(error%message)
      call rates%eval(x, y, work, error, num_threads=0)
      print '(2a)', 'message'//char(9), trim(error%message)
      call rates%eval(x(:, 1:0), y(:, 1:0), work, error)
      call say('status', real(error%status, c_double))
   end subroutine

   !! A copy is another name: it may go, and the owner stays open.
   subroutine copies
      block
         type(sg_surrogate) :: name
         name = rates
         y = 0
         call name%eval(x, y, work, error)
         call expect_ok
         call say_all('eval copy', y)
         rates = name
      end block
      call rates%eval(x, y, work, error)
      call expect_ok
      call say_all('eval copy', y)
   end subroutine
end program module_test
